import { refreshIcon } from '@jupyterlab/ui-components';
import { Component } from 'react';

import { IconButton } from './IconButton';
import { ProblemBox } from './ProblemBox';

interface Props {
  /** Room for an icon only. */
  small?: boolean;
  children: React.ReactNode;
}

/** When drawing fails, a sentence in its place: without this React takes everything around it off the page. */
export class Boundary extends Component<Props, { error: unknown }> {
  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override state = { error: null as unknown };

  override render(): React.ReactNode {
    const again = (): void => this.setState({ error: null });
    if (this.state.error === null) {
      return this.props.children;
    }
    return this.props.small ? (
      <IconButton icon={refreshIcon} label="This cannot be shown. Try again" onClick={again} />
    ) : (
      <ProblemBox
        problem={{
          code: 'drawing',
          message: 'This part cannot be shown.',
          hint: `Runs go on without it. ${String(this.state.error)}`,
          transient: false
        }}
      >
        <button type="button" className="mlex-Button" onClick={again}>
          Try again
        </button>
      </ProblemBox>
    );
  }
}
