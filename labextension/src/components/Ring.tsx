/** The ring of what is running: the only thing that moves. */
export function Ring({ size = 14 }: { size?: number }): JSX.Element {
  return (
    <svg className="mlex-Ring" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="12" cy="12" r="9" />
      <path d="M12 3a9 9 0 0 1 9 9" />
    </svg>
  );
}
