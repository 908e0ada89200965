/** A React component as a Lumino widget, with everything that our components use around it. */

import { ReactWidget } from '@jupyterlab/ui-components';

import { Boundary } from './components/Boundary';
import { MlexContext, type Mlex } from './context';

export class MlexWidget extends ReactWidget {
  constructor(
    private readonly mlex: Mlex,
    private readonly content: JSX.Element,
    private readonly small = false
  ) {
    super();
    this.addClass('mlex-Widget');
  }

  protected override render(): JSX.Element {
    return (
      <MlexContext.Provider value={this.mlex}>
        <Boundary small={this.small}>{this.content}</Boundary>
      </MlexContext.Provider>
    );
  }
}
