/** Questions in JupyterLab's own dialogs. */

import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';

import type { Asks } from './actions';

export const jupyterAsks: Asks = {
  async text(title, label, proposal, button) {
    const { value, button: pressed } = await InputDialog.getText({
      title,
      label,
      text: proposal,
      okLabel: button
    });
    return pressed.accept ? (value?.trim() ?? null) : null;
  },
  async yes(title, body, button) {
    const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label: button })];
    return (await showDialog({ title, body, buttons })).button.accept;
  }
};
