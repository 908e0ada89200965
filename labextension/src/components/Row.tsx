import { useContext } from 'react';

import { TabStop } from './Rows';

interface Props {
  id: string;
  selected: boolean;
  onOpen: () => void;
  onDelete?: () => void;
  onMenu?: (x: number, y: number) => void;
  /** Buttons at the right. */
  actions?: React.ReactNode;
  /** They show on hover and on focus only. */
  quiet?: boolean;
  title?: string;
  children: React.ReactNode;
}

/** One row: Enter and click open it, Delete and the menu key do what the list offers. */
export function Row({
  id,
  selected,
  onOpen,
  onDelete,
  onMenu,
  actions,
  quiet = false,
  title,
  children
}: Props): JSX.Element {
  const stop = useContext(TabStop) === id;
  const menu = (event: React.MouseEvent): void => {
    if (onMenu) {
      event.preventDefault();
      event.stopPropagation();
      const { left, bottom } = event.currentTarget.getBoundingClientRect();
      const byKey = event.clientX === 0 && event.clientY === 0;
      byKey ? onMenu(left + 8, bottom) : onMenu(event.clientX, event.clientY);
    }
  };
  return (
    <li className={`mlex-Row ${selected ? 'mlex-mod-selected' : ''}`} data-row={id} onContextMenu={menu}>
      <button
        type="button"
        className="mlex-Row-main"
        aria-pressed={selected}
        tabIndex={stop ? 0 : -1}
        title={title}
        onClick={onOpen}
        onKeyDown={event => event.key === 'Delete' && onDelete?.()}
      >
        {children}
      </button>
      {actions && <span className={`mlex-Row-actions ${quiet ? 'mlex-mod-quiet' : ''}`}>{actions}</span>}
    </li>
  );
}
