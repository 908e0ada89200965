import { useKnown } from '../context';
import type { Asked } from '../known';
import { Loading } from './Loading';
import { ProblemBox } from './ProblemBox';

/** A list that is not here: on its way, or refused. Where the server itself is missing, the panel's top says so. */
export function Waiting({ asked, what }: { asked: Asked<unknown>; what: string }): JSX.Element | null {
  const { hello } = useKnown();
  if (asked.problem === null) {
    return <Loading what={what} />;
  }
  return hello === null ? null : <ProblemBox problem={asked.problem} />;
}
