/** Release files for tests. */
import { packFunctions } from '#bundle/functions-zip.ts';

/**
 * Three stages: WaitForSignal, A/B, WaitForSignal. Short enough for tests with compressed time. Its function is its own, so that
 * releases on one manager don't stand in one another's way.
 */
export function sieveYml(id: string, more = '', func = `sieve-${id}`): string {
  const stage = (name: string, type: string, onSuccess: string): string => `
  - name: ${name}
    type: ${type}
    func_name: ${func}
    variants:
      - { name: base_version, trafficPercentage: 90 }
      - { name: new_version, trafficPercentage: 10 }
    metrics_conditions:
      - { name: errorRate, threshold: "<0.02" }
      - { name: responseTime, threshold: "<=2000", compareWith: Median }
    end_conditions:
      - { name: minDuration, threshold: 2s }
      - { name: minCalls, threshold: "40" }
    end_action: { onSuccess: ${onSuccess}, onFailure: rollback }`;
  return `id: ${id}
name: ReleaseSieveFunction
type: major
functions:
  - name: ${func}
    base_version: { path: fns/sample_f1, env: nodejs }
    new_version: { path: fns/sample_f2, env: nodejs }
stages:${stage('Canary', 'WaitForSignal', 'Test')}${stage('Test', 'A/B', 'Gradual')}${stage('Gradual', 'WaitForSignal', 'rollout')}
rollback: { action: { function: base_version } }
${more}`;
}

export const sieveZip = (): Promise<Buffer> =>
  packFunctions(
    new Map([
      ['fns/sample_f1/index.js', Buffer.from('module.exports = (req, res) => { res.send("1"); };\n')],
      ['fns/sample_f2/index.js', Buffer.from('module.exports = (req, res) => { res.send("2"); };\n')],
    ]),
  );
