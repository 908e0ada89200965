/** How requests reach the server extension: with JupyterLab's own connection, so that logins and XSRF are its care. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { Transport } from '@mlex/api';

export function jupyterTransport(settings: ServerConnection.ISettings): Transport {
  const http = URLExt.join(settings.baseUrl, 'mlex/api/v1');
  const ws = URLExt.join(settings.wsUrl, 'mlex/api/v1');
  return {
    // Not "no-store": with it JupyterLab puts a number into the address that no route asked for.
    request: (path, init) =>
      ServerConnection.makeRequest(http + path, { cache: 'no-cache', ...init }, settings),
    socket: path => {
      const token = settings.appendToken && settings.token;
      const url = ws + path + (token ? `&token=${encodeURIComponent(token)}` : '');
      return new settings.WebSocket(url);
    }
  };
}
