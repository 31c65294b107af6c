/** Publishing: everything is checked before anything is written. */
import { DEFAULT_PLAN, PRESETS } from '#domain/plan/presets.ts';
import { createHash } from 'node:crypto';
import { checkFunctionsZip, ZIP } from '#bundle/functions-zip.ts';
import { publishedRollout } from '#domain/rollout/rollout.ts';
import type { Finding } from '#domain/strategy/strategy.ts';
import { stagesOf } from '#domain/rollout/stages.ts';
import type { Clock } from '#store/connection/redis-clock.ts';
import type { ReleaseStore } from '#store/releases/release-store.ts';
import { ProblemError } from '#wire/operator/problem.ts';
import { readReleaseFile } from '#wire/release/release-file.ts';

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
    const rollout = publishedRollout({
      release: strategy.id,
      shortId: await releases.nextShortId(),
      stages: stagesOf(strategy),
      plan,
      bundleBytes: checked.served.length,
    });
    const digest = `${release.yml} ${sha256(zip)}`;
    const outcome = await releases.publish({ release, digest, files: { yml, zip: checked.served }, rollout, plan });
    if (outcome === 'different')
      throw new ProblemError('release-exists', `other files were published as release ${strategy.id}: take another id`);
    return { id: strategy.id, warnings, created: outcome === 'created' };
  };
}
