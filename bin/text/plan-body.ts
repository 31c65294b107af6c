/** A plan as the operator API takes it, from what is given on a command line. */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { PRESET_NAMES } from '#domain/plan/presets.ts';

/** A preset's name, or else a YAML file: the plan itself, or a mapping with the plan under `plan`, such as release.yml. */
export async function planBody(given: string | undefined): Promise<{ plan?: unknown }> {
  if (given === undefined) return {};
  if ((PRESET_NAMES as readonly string[]).includes(given)) return { plan: given };
  let text: string;
  try {
    text = await readFile(given, 'utf8');
  } catch {
    throw new Error(`--plan: "${given}" is neither a file nor one of ${PRESET_NAMES.join(', ')}`);
  }
  const content: unknown = parse(text);
  const isHolder = typeof content === 'object' && content !== null && 'plan' in content;
  return { plan: isHolder ? content.plan : content };
}
