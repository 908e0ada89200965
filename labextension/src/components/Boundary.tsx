import { Component } from 'react';

import { ProblemBox } from './ProblemBox';

interface Props {
  children: React.ReactNode;
}

/** When drawing fails, a sentence in its place: without this React takes everything around it off the page. */
export class Boundary extends Component<Props, { error: unknown }> {
  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override state = { error: null as unknown };

  override render(): React.ReactNode {
    return this.state.error === null ? (
      this.props.children
    ) : (
      <ProblemBox
        problem={{
          code: 'drawing',
          message: 'This part cannot be shown.',
          hint: `Runs go on without it. ${String(this.state.error)}`,
          transient: false
        }}
      >
        <button type="button" className="mlex-Button" onClick={() => this.setState({ error: null })}>
          Try again
        </button>
      </ProblemBox>
    );
  }
}
