import { Clipboard } from '@jupyterlab/apputils';
import { copyIcon } from '@jupyterlab/ui-components';
import type { Job } from '@mlex/api';
import { useEffect, useRef, useState } from 'react';

import { useMlex } from '../context';
import { count, FINAL } from '../words';
import { Card } from './Card';
import { IconButton } from './IconButton';

/** The end of a log, as many bytes as a person reads at once. */
const TAIL = 16_000;
const EVERY_MS = 1500;

/** The end of the run's log, followed while it runs. */
export function LogCard({ job }: { job: Job }): JSX.Element {
  const { text, problem } = useLog(job);
  const box = useRef<HTMLPreElement>(null);
  const following = useRef(true);
  useEffect(() => {
    if (box.current && following.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [text]);
  const follow = (): void => {
    const { scrollTop, clientHeight, scrollHeight } = box.current ?? {
      scrollTop: 0,
      clientHeight: 0,
      scrollHeight: 0
    };
    following.current = scrollTop + clientHeight > scrollHeight - 24;
  };
  const lines = text === '' ? 0 : text.trimEnd().split('\n').length;
  return (
    <Card
      title="Log"
      className="mlex-LogCard"
      aside={
        <>
          <span className="mlex-meta">
            {problem ??
              (lines === 0
                ? 'nothing yet'
                : `last ${count(lines, 'line')}${FINAL.has(job.state) ? '' : ' · following'}`)}
          </span>
          <span className="mlex-end">
            <IconButton icon={copyIcon} label="Copy log" onClick={() => Clipboard.copyToSystem(text)} />
          </span>
        </>
      }
    >
      <pre className="mlex-Log" ref={box} onScroll={follow} tabIndex={0} aria-label="Log">
        {text}
      </pre>
    </Card>
  );
}

function useLog(job: Job): { text: string; problem: string | null } {
  const { server } = useMlex();
  const [text, setText] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const over = FINAL.has(job.state);
  useEffect(() => {
    let wanted = true;
    let offset = -TAIL;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = async (): Promise<void> => {
      try {
        const chunk = await server.log(job.id, offset);
        if (!wanted) {
          return;
        }
        const fresh = offset < 0;
        offset = chunk.offset;
        setProblem(null);
        setText(before => (fresh ? chunk.text : (before + chunk.text).slice(-TAIL)));
        if (chunk.final && chunk.text === '') {
          return;
        }
      } catch {
        if (wanted) {
          setProblem('not readable at the moment');
        }
      }
      timer = setTimeout(() => void read(), EVERY_MS);
    };
    void read();
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [job.id, job.attempt, over]);
  return { text, problem };
}
