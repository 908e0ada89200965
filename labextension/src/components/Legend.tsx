interface Line {
  name: string;
  color: string;
  dashed?: boolean;
}

/** Lines are told apart by dash as well as by colour. */
export function Legend({ lines }: { lines: readonly Line[] }): JSX.Element {
  return (
    <span className="mlex-Legend">
      {lines.map(({ name, color, dashed }) => (
        <span key={name}>
          <i style={{ borderTopColor: `var(${color})`, borderTopStyle: dashed ? 'dashed' : 'solid' }} />
          {name}
        </span>
      ))}
    </span>
  );
}
