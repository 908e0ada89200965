import { useKnown, useScreen } from '../context';
import { failedIcon, minusIcon, okIcon } from '../icons';
import { free } from '../words';
import { Icon } from './Icon';

/** What is free where the next run goes. */
export function Footer(): JSX.Element | null {
  const { targets, connection } = useKnown();
  const { target } = useScreen();
  const chosen = targets.value?.find(each => each.name === target) ?? targets.value?.[0];
  if (!chosen) {
    return null;
  }
  const offline = connection.status === 'offline';
  const [icon, look, word] = offline
    ? [minusIcon, 'idle', 'not seen']
    : chosen.ready
      ? [okIcon, 'ok', 'up']
      : [failedIcon, 'error', chosen.reason ?? 'not ready'];
  return (
    <footer className="mlex-Footer">
      <span className={`mlex-Badge mlex-is-${look}`}>
        <Icon icon={icon} size={12} />
        {chosen.title} {word}
      </span>
      <span className="mlex-num">{offline ? '?' : free(chosen)}</span>
    </footer>
  );
}
