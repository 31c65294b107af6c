/** The root of `choir`: the operators' commands, the simulators, and what changes the data itself. They don't know one another. */
import { runProgram } from './cli/commands.ts';
import { addSimulatePlan } from './simulate-plan/command.ts';
import { addMigrate } from './migrate/command.ts';
import type { OpenEmbedded } from './offline/open-data.ts';
import { addRepartition } from './repartition/command.ts';
import { addSimulate } from './simulate/command.ts';

const openEmbedded: OpenEmbedded = async (dataDir, path, log, stack) => {
  const [{ openDataDir }, { startEmbeddedRedis }] = await Promise.all([
    import('#services/all/data-dir.ts'),
    import('#services/all/embedded-redis.ts'),
  ]);
  return startEmbeddedRedis(openDataDir(dataDir, stack), path, log, stack);
};

await runProgram(process.argv, [addSimulate, addSimulatePlan, addRepartition(openEmbedded), addMigrate(openEmbedded)]);
