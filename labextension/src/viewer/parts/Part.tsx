interface Props {
  title: string;
  meta?: string;
  actions?: React.ReactNode;
  children: React.ReactNode;
}

/** A part of the column at the right. */
export function Part({ title, meta, actions, children }: Props): JSX.Element {
  return (
    <section className="mlex-Part" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {meta && <span className="mlex-meta mlex-trunc">{meta}</span>}
        <span className="mlex-end">{actions}</span>
      </header>
      {children}
    </section>
  );
}
