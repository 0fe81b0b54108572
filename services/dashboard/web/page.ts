/** What each page is given. */
import type { Live } from './live.ts';
import type { Route } from './route.ts';

export interface PageProps {
  readonly live: Live;
  readonly route: Route;
}
