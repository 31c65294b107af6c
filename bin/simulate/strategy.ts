/** Release files as the reference agent reads them. What it would choke on throws, and ends the simulated agent. */
import JSZip from 'jszip';
import { parse } from 'yaml';
import { parseGoDuration } from '#domain/duration.ts';

/** Folders of the two versions of a function. */
export type Versions = { base: string; new: string };

export type SimStage = {
  name: string;
  func: string;
  versions: Versions;
  signal: boolean;
  newShare: number;
  conditions: { name: string; operator: string; limit: number; compareWith: 'Minimum' | 'Median' | 'Maximum' }[];
  minDurationMs: number;
  minCalls: number;
  onSuccess: string;
  onFailure: string;
};

export type SimRelease = { id: string; stages: SimStage[] };

type Raw = {
  id: string;
  functions: { name: string; base_version: { path: string }; new_version: { path: string } }[];
  stages: {
    name: string;
    type: string;
    func_name: string;
    variants: { name: string; trafficPercentage: string }[];
    metrics_conditions?: {
      name: string;
      threshold: string;
      compareWith?: SimStage['conditions'][number]['compareWith'];
    }[];
    end_conditions?: { name: string; threshold: string }[];
    end_action: { onSuccess: string; onFailure: string };
  }[];
};

export function readStrategy(text: string): SimRelease {
  const raw = parse(text, { schema: 'failsafe' }) as Raw;
  return {
    id: raw.id,
    stages: raw.stages.map((stage) => {
      const end = (name: string): string | undefined => stage.end_conditions?.find((c) => c.name === name)?.threshold;
      const versions = raw.functions.find(({ name }) => name === stage.func_name);
      return {
        name: stage.name,
        func: stage.func_name,
        versions: { base: versions?.base_version.path ?? '', new: versions?.new_version.path ?? '' },
        signal: stage.type === 'WaitForSignal',
        newShare: Number(stage.variants.find((v) => v.name === 'new_version')?.trafficPercentage ?? 0) / 100,
        conditions: (stage.metrics_conditions ?? []).map(({ name, threshold, compareWith }) => {
          const [, operator = '<', limit = '0'] = /^(<=|>=|<|>|=)\s*(.+)$/.exec(threshold) ?? [];
          return { name, operator, limit: Number(limit), compareWith: compareWith ?? 'Median' };
        }),
        minDurationMs: parseGoDuration(end('minDuration') ?? '0s') ?? 0,
        minCalls: Number(end('minCalls') ?? 0),
        onSuccess: stage.end_action.onSuccess,
        onFailure: stage.end_action.onFailure,
      };
    }),
  };
}

/** Unpacks as the agent does: into a fresh folder, so that a file before its directory entry is the end of it. */
export async function checkFunctions(bytes: Buffer): Promise<void> {
  const zip = await JSZip.loadAsync(bytes, { createFolders: false });
  const folders = new Set(['']);
  for (const entry of Object.values(zip.files)) {
    if (entry.name.startsWith('__MACOSX/')) continue;
    const parent = entry.name.replace(/[^/]+\/?$/, '');
    if (!folders.has(parent)) throw new Error(`no such folder: ${parent}`);
    if (entry.dir) folders.add(entry.name);
    else await entry.async('nodebuffer');
  }
}
