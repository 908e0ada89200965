/** The contract's types under their own names; every shape comes from the generated file. */

import type { components } from './contract';

type Schemas = components['schemas'];

export type Architecture = Schemas['Architecture'];
export type ClassInfo = Schemas['ClassInfo'];
export type Dataset = Schemas['Dataset'];
export type Draft = Schemas['Draft'];
export type Event = Schemas['Event'];
export type Hello = Schemas['Hello'];
export type Job = Schemas['Job'];
export type JobState = Schemas['JobState'];
export type LabelSet = Schemas['LabelSet'];
export type LabelSlice = Schemas['LabelSlice'];
export type LogChunk = Schemas['LogChunk'];
export type Model = Schemas['Model'];
export type Painted = Schemas['Painted'];
export type Problem = Omit<Schemas['Problem'], 'details'> & Partial<Pick<Schemas['Problem'], 'details'>>;
export type Progress = Schemas['Progress'];
export type SliceBalance = Schemas['SliceBalance'];
export type Stroke = Schemas['Stroke'];
export type TargetInfo = Schemas['TargetInfo'];
export type ZooEntry = Schemas['ZooEntry'];
