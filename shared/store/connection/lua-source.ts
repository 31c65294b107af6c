/** Lua files as Redis gets them: a line `-- @include name` stands for lua/includes/name.lua, once for a script. */
import { readFileSync } from 'node:fs';

const INCLUDE = /^-- @include ([a-z-]+)$/gm;

const read = (path: string): string => readFileSync(new URL(`../lua/${path}.lua`, import.meta.url), 'utf8');

/** `path`: below lua/, without its ending. */
export function readScript(path: string): string {
  const included = new Set<string>();
  const expand = (text: string): string =>
    text.replaceAll(INCLUDE, (_, name: string) => {
      if (included.has(name)) return '';
      included.add(name);
      return expand(read(`includes/${name}`)).trimEnd();
    });
  return expand(read(path));
}
