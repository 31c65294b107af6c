/** Publishing: everything is checked before anything is written. */
import { createHash } from 'node:crypto';
import { checkFunctionsZip, ZIP } from '#bundle/functions-zip.ts';
import { DEFAULT_PLAN, PRESETS } from '#domain/plan.ts';
import { publishedRollout } from '#domain/rollout.ts';
import type { Finding } from '#domain/strategy.ts';
import { stagesOf } from '#domain/strategy-stages.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { ReleaseStore } from '#store/release-store.ts';
import { ProblemError } from '#wire/problem.ts';
import { readReleaseFile } from '#wire/release-file.ts';

export type Publisher = ReturnType<typeof createPublisher>;

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export function createPublisher(releases: ReleaseStore, clock: Clock, bundleLimit: number) {
  /** Throws `invalid-release` with every fault, or `release-exists`. */
  return async (yml: Buffer, zip: Buffer): Promise<{ id: string; warnings: readonly Finding[]; created: boolean }> => {
    const { file, faults, warnings: ofFile, functions, located } = readReleaseFile(yml);
    const checked = await checkFunctionsZip(zip, functions, bundleLimit);
    const inFile = (finding: Finding): Finding => (finding.path === ZIP ? finding : located(finding));
    const warnings = [...ofFile, ...checked.warnings.map(inFile)];
    const all = [...faults, ...checked.faults.map(inFile)];
    if (file === null || all.length > 0)
      throw new ProblemError('invalid-release', `${all.length} fault${all.length === 1 ? '' : 's'}`, all);
    const { strategy } = file;
    const plan = file.plan ?? PRESETS[DEFAULT_PLAN];
    const release = {
      id: strategy.id,
      strategy,
      publishedAt: clock.now(),
      yml: sha256(yml),
      zip: sha256(checked.served),
      warnings,
    };
    const outcome = await releases.publish(
      release,
      `${release.yml} ${sha256(zip)}`,
      { yml, zip: checked.served },
      publishedRollout(strategy.id, await releases.nextTag(), stagesOf(strategy), plan, checked.served.length),
      plan,
    );
    if (outcome === 'different')
      throw new ProblemError('release-exists', `other files were published as release ${strategy.id}: take another id`);
    return { id: strategy.id, warnings, created: outcome === 'created' };
  };
}
