/**
 * Turns data of schema 4 into data of schema 5 while no manager runs. Each step tells what it has done from what it hasn't, so a
 * run that was killed is gone on with by the next one, and managers don't start in between.
 */
import type { Client } from '#store/connection/client.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import { createKeys, type Keys } from '#store/layout/keys.ts';
import { createMigrationStore, type MigrationStore } from '#store/layout/migration-store.ts';
import { MIGRATED_SCHEMA, otherSchema, SCHEMA } from '#store/layout/schema.ts';
import { unwrap } from '#store/connection/client.ts';
import { beginAlone, NotNow, refuseOvertaken } from '../offline/alone.ts';
import { migratePlan, migrateRollout } from './documents.ts';
import { moveJobs } from './jobs.ts';

export type Report = {
  /** A line that people read. */
  say(line: string): void;
  /** Called between any two steps; it may throw to stop. */
  step(): void;
};

type Migration = { client: Client; keys: Keys; prefix: string; partitions: number; step(): void };

export async function migrate(client: Client, prefix: string, report: Report): Promise<void> {
  const keys = createKeys(prefix);
  const store = createMigrationStore(client, keys);
  const partitions = await begin(store, report);
  if (partitions === null) return report.say(`the data has schema ${SCHEMA}: nothing to do`);
  const step = (): void => {
    refuseOvertaken(store);
    report.step();
  };
  try {
    report.say(`from schema ${MIGRATED_SCHEMA} to schema ${SCHEMA}`);
    const migration = { client, keys, prefix, partitions, step };
    const releases = await client.zrange(keys.releaseList, 0, '-1');
    for (const release of releases) await migrateRelease(migration, release);
    report.say(`migrated ${releases.length} releases`);
    await moveCounter(migration);
    report.say(`moved ${await moveJobs(client, keys)} jobs`);
    step();
    await store.finish();
    report.say('done');
  } catch (error) {
    await store.leave();
    throw error;
  }
}

/** Null: there is nothing to do. */
async function begin(store: MigrationStore, { say }: Report): Promise<number | null> {
  const begun = await beginAlone(() => store.begin(), say);
  if (begun.code === 'begun') return begun.partitions;
  if (begun.code === 'same') return null;
  if (begun.code === 'other') throw new NotNow(otherSchema(begun.schema));
  if (begun.code === 'moving')
    throw new NotNow(
      `the data is being moved to ${begun.to} partitions: run "choir repartition ${begun.to}" of the version before until it says that it is done`,
    );
  throw new NotNow('no manager has kept data here yet: there is nothing to migrate');
}

async function migrateRelease(migration: Migration, release: string): Promise<void> {
  const { step } = migration;
  await migrateDocuments(migration, release);
  step();
  await moveOrder(migration, release);
  step();
  for (let p = 0; p < migration.partitions; p++) await renameNotes(migration, p, release);
  step();
}

async function migrateDocuments({ client, keys }: Migration, release: string): Promise<void> {
  const key = keys.rollout(release);
  const [rollout, plan] = await client.hmget(key, 'doc', 'plan');
  const migrated = [
    ['doc', rollout, migrateRollout],
    ['plan', plan, migratePlan],
  ] as const;
  const fields = Object.fromEntries(
    migrated.flatMap(([field, text, turn]) =>
      text == null ? [] : [[field, JSON.stringify(turn(JSON.parse(text) as Record<string, unknown>))]],
    ),
  );
  if (Object.keys(fields).length > 0) await client.hset(key, fields);
}

/** The order of locations has another key, in the same slot of a cluster. */
async function moveOrder({ client, keys, prefix }: Migration, release: string): Promise<void> {
  const old = `${prefix}:places:{${release}}`;
  if ((await client.exists(old)) === 1) await client.rename(old, keys.locations(release));
}

/** What jobs have noted beside the counts, by its name before. */
const NOTES = {
  '@mark': AGG.enrolled,
  '@ordered': AGG.assigned,
  '@lost': AGG.watchLost,
  '@due': AGG.watchOverdue,
} as const;

async function renameNotes({ client, keys }: Migration, p: number, release: string): Promise<void> {
  const key = keys.agg(p, release);
  const old = Object.keys(NOTES) as (keyof typeof NOTES)[];
  const values = await client.hmget(key, ...old);
  const rename = client.multi();
  old.forEach((field, i) => {
    const value = values[i];
    if (value != null) rename.hset(key, NOTES[field], value).hdel(key, field);
  });
  unwrap(await rename.exec());
}

/** In a cluster the two keys may be in different slots, so it's copied before the old one goes. */
async function moveCounter({ client, keys, prefix, step }: Migration): Promise<void> {
  const old = `${prefix}:tags`;
  const last = await client.get(old);
  if (last === null) return;
  await client.set(keys.shortIds, last);
  step();
  await client.unlink(old);
}
