/** The item in the status bar. */

import { StatusItem } from './components/StatusItem';
import type { Mlex } from './context';
import { MlexWidget } from './widget';

export function statusItem(mlex: Mlex, onClick: () => void): MlexWidget {
  return new MlexWidget(mlex, <StatusItem onClick={onClick} />, true);
}
