import { useEffect } from 'react';

import { Notice } from '../../components/Notice';
import { ProblemBox } from '../../components/ProblemBox';
import type { Viewer } from '../viewer';
import { Classes } from './Classes';
import { Contrast } from './Contrast';
import { LabelledSlices } from './LabelledSlices';
import { Layers } from './Layers';
import { SliceBar } from './SliceBar';
import { Stage } from './Stage';
import { Steps } from './Steps';
import { Tools } from './Tools';
import { useLooking, useViewer, ViewerContext } from './use';

/** A volume: look, paint, train, check. */
export function ViewerView({ viewer }: { viewer: Viewer }): JSX.Element {
  return (
    <ViewerContext.Provider value={viewer}>
      <Inside />
    </ViewerContext.Provider>
  );
}

function Inside(): JSX.Element {
  const viewer = useViewer();
  const { problem, labels } = useLooking();
  useEffect(() => void viewer.show(), []);
  return (
    <div className="mlex-Viewer" data-lm-suppress-shortcuts="true">
      <Notice />
      <Steps />
      <Tools />
      {problem && <ProblemBox problem={problem} onDismiss={() => viewer.problem(null)} />}
      <div className="mlex-Viewer-body">
        <Stage />
        <div className="mlex-Viewer-side">
          <Classes />
          <Layers />
          <Contrast />
          {labels !== null && <LabelledSlices />}
        </div>
        <SliceBar />
      </div>
    </div>
  );
}
