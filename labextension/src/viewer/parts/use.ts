import { createContext, useContext, useSyncExternalStore } from 'react';

import type { Looking, Viewer } from '../viewer';

export const ViewerContext = createContext<Viewer | null>(null);

export function useViewer(): Viewer {
  const viewer = useContext(ViewerContext);
  if (viewer === null) {
    throw new Error('This component stands outside of a viewer.');
  }
  return viewer;
}

export function useLooking(): Looking {
  const { state } = useViewer();
  return useSyncExternalStore(state.subscribe, state.get);
}
