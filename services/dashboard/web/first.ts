/** Runs before the first paint: the theme that was chosen by hand, if any. */
import { applyTheme, chosenTheme } from './theme.ts';

applyTheme(chosenTheme());
