/** A release of three stages, as a form to publish. */
import { packFunctions } from '#bundle/functions-zip.ts';

export const STAGES = ['Canary', 'Test', 'Gradual'] as const;

type Stage = readonly [name: string, type: string, onSuccess: string];
const THREE: readonly Stage[] = [
  ['Canary', 'WaitForSignal', 'Test'],
  ['Test', 'A/B', 'Gradual'],
  ['Gradual', 'WaitForSignal', 'rollout'],
];

function releaseYml(id: string, stages: readonly Stage[]): string {
  const stage = ([name, type, onSuccess]: Stage): string => `
  - name: ${name}
    type: ${type}
    func_name: sieve
    variants: [{ name: base_version, trafficPercentage: 90 }, { name: new_version, trafficPercentage: 10 }]
    metrics_conditions: [{ name: errorRate, threshold: "<0.02" }]
    end_conditions: [{ name: minDuration, threshold: 2s }, { name: minCalls, threshold: "40" }]
    end_action: { onSuccess: ${onSuccess}, onFailure: rollback }`;
  return `id: "${id}"
name: Bench
type: patch
functions:
  - name: sieve
    base_version: { path: fns/f1, env: nodejs }
    new_version: { path: fns/f2, env: nodejs }
stages:${stages.map(stage).join('')}
rollback: { action: { function: base_version } }
`;
}

/** `bytes`: about the size of fns.zip; what is in it doesn't compress. */
export const releaseForm = (id: string, bytes = 0): Promise<FormData> => formOf(releaseYml(id, THREE), bytes);

/** A release of very many stages, each of which waits for its signal: a sample each. */
export const manyStagesForm = (id: string, count: number): Promise<FormData> =>
  formOf(
    releaseYml(
      id,
      Array.from({ length: count }, (_, i) => [
        `Stage ${i}`,
        'WaitForSignal',
        i + 1 < count ? `Stage ${i + 1}` : 'rollout',
      ]),
    ),
    0,
  );

async function formOf(yml: string, bytes: number): Promise<FormData> {
  const code = 'module.exports = (req, res) => { res.send("1"); };\n';
  const files = new Map([
    ['fns/f1/index.js', Buffer.from(code)],
    ['fns/f2/index.js', Buffer.from(code)],
  ]);
  if (bytes > 0) files.set('fns/f2/data.bin', noise(bytes));
  const form = new FormData();
  form.set('release', new Blob([yml]), 'release.yml');
  form.set('functions', new Blob([new Uint8Array(await packFunctions(files))]), 'fns.zip');
  return form;
}

function noise(bytes: number): Buffer<ArrayBuffer> {
  const data = Buffer.alloc(bytes);
  let state = 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    data[i] = state >>> 16;
  }
  return data;
}
