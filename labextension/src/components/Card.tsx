interface Props {
  title: string;
  /** Beside the title, at the right. */
  aside?: React.ReactNode;
  className?: string;
  children: React.ReactNode;
}

export function Card({ title, aside, className = '', children }: Props): JSX.Element {
  return (
    <section className={`mlex-Card ${className}`} aria-label={title}>
      <header>
        <h2>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}
