import { Compute } from './Compute';
import { Notice } from './Notice';
import { Search } from './Search';

/** The top of the panel: its name, where the next run goes, the search, and what is wrong with the connection. */
export function Header(): JSX.Element {
  return (
    <>
      <div className="mlex-Header">
        <h2>MLExchange</h2>
        <Compute />
      </div>
      <Search />
      <Notice />
    </>
  );
}
