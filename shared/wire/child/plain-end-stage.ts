/** What an agent asks every second, checked without a schema; null for anything that isn't plainly that: see child.ts. */
import { CHILD_ID, RELEASE_ID } from '#domain/ids.ts';
import { parseObject } from './plain.ts';

export type Asked = { id: string; release: string; stage: string };

export function plainEndStage(text: string): Asked | null {
  const body = parseObject(text);
  if (body === null) return null;
  const { id, strategy_id: release, stage_name: stage } = body;
  if (typeof id !== 'string' || typeof release !== 'string' || typeof stage !== 'string' || stage === '') return null;
  return CHILD_ID.test(id) && RELEASE_ID.test(release) ? { id, release, stage } : null;
}
