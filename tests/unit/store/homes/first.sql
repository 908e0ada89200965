-- The tables of the first version, as SQLite kept them.
CREATE TABLE meta ("key" VARCHAR NOT NULL, value INTEGER NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE events (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  time FLOAT NOT NULL,
  subject VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  "values" JSON NOT NULL
);
CREATE INDEX events_of_a_subject ON events (subject, id);
CREATE TABLE datasets (
  id VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  record JSON NOT NULL,
  created FLOAT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (name)
);
CREATE TABLE labels (
  id VARCHAR NOT NULL,
  dataset VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  version INTEGER NOT NULL,
  record JSON NOT NULL,
  created FLOAT NOT NULL,
  UNIQUE (dataset, name, version)
);
CREATE TABLE models (
  id VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  version INTEGER NOT NULL,
  run VARCHAR NOT NULL,
  record JSON NOT NULL,
  created FLOAT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (name, version),
  UNIQUE (name, run)
);
CREATE TABLE jobs (
  number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  id VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  owner VARCHAR NOT NULL,
  target VARCHAR NOT NULL,
  "key" VARCHAR,
  request JSON NOT NULL,
  file JSON NOT NULL,
  state VARCHAR NOT NULL,
  reason VARCHAR,
  message VARCHAR,
  hint VARCHAR,
  native_id VARCHAR,
  attempt INTEGER NOT NULL,
  asked INTEGER NOT NULL,
  cancel INTEGER NOT NULL,
  vanished INTEGER NOT NULL,
  submitted FLOAT NOT NULL,
  started FLOAT,
  ended FLOAT,
  seen FLOAT,
  exit_code INTEGER,
  progress JSON,
  metrics JSON NOT NULL,
  outputs JSON NOT NULL,
  "offset" INTEGER NOT NULL,
  UNIQUE (owner, "key"),
  UNIQUE (id)
);
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE INDEX ix_jobs_name ON jobs (name);
INSERT INTO meta VALUES ('schema', 1), ('epoch', 7);
INSERT INTO events VALUES (41, 1700000000.0, 'run-0', 'submitted', '{"name": "old-01"}');
INSERT INTO datasets VALUES ('data-0', 'sand', '{"id": "data-0", "name": "sand", "uri": "/data/sand.zarr", "reader": "zarr",
  "shape": [4, 16, 16], "dtype": "uint8", "axes": "zyx", "chunks": [1, 16, 16], "nbytes": 1024, "created": "2025-01-01T00:00:00Z"}', 1.0);
INSERT INTO labels VALUES ('labels-0', 'data-0', 'scribbles', 1, '{"id": "labels-0", "name": "scribbles",
  "dataset": "data-0", "classes": [{"value": 1, "name": "sand", "color": "#56b4e9"}], "version": 1,
  "uri": "/data/labels-0/v1.zarr", "counts": {"sand": 3}, "slices": [0], "created": "2025-01-01T00:00:00Z"}', 1.0);
INSERT INTO jobs VALUES (1, 'run-0', 'old-01', 'tester', 'local', 'k',
  '{"task": {"kind": "run", "argv": ["true"]}, "key": "k"}',
  '{"id": "run-0", "name": "old-01", "owner": "tester", "spec": {"name": "old-01", "task": {"kind": "run", "argv": ["true"]}, "key": "k"}}',
  'done', NULL, NULL, NULL, '1@2', 1, 1, 0, 0, 1700000000.0, 1700000001.0, 1700000002.0, 1700000002.0, 0, NULL, '{}', '[]', 0);
