/** What every component may use: the server, the screen's own state, and what a person can do. */

import { createContext, useContext, useSyncExternalStore } from 'react';

import type { Actions } from './actions';
import type { Known } from './known';
import type { Screen } from './screen';
import type { Server } from './server';
import type { Watched } from './watched';

export interface Mlex {
  server: Server;
  screen: Watched<Screen>;
  actions: Actions;
}

export const MlexContext = createContext<Mlex | null>(null);

export function useMlex(): Mlex {
  const mlex = useContext(MlexContext);
  if (mlex === null) {
    throw new Error('This component stands outside of the MLEx panel.');
  }
  return mlex;
}

export function useKnown(): Known {
  const { known } = useMlex().server;
  return useSyncExternalStore(known.subscribe, known.get);
}

export function useScreen(): Screen {
  const { screen } = useMlex();
  return useSyncExternalStore(screen.subscribe, screen.get);
}
