import type { LabIcon } from '@jupyterlab/ui-components';

/** An icon beside words: decoration, so that a screen reader skips it. */
export function Icon({ icon, size = 14 }: { icon: LabIcon; size?: number }): JSX.Element {
  return (
    <icon.react
      tag="span"
      className="mlex-Icon"
      width={`${size}px`}
      height={`${size}px`}
      aria-hidden="true"
    />
  );
}
