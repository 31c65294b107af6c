/** The root of `choir`: the operators' commands, the simulator and the repartitioning, which don't know one another. */
import { runProgram } from '#services/cli/commands.ts';
import { addSimulatePlan } from '#services/cli/simulate-plan.ts';
import { addRepartition } from '#services/repartition/command.ts';
import { addSimulate } from '#services/simulator/command.ts';

const openEmbedded: Parameters<typeof addRepartition>[0] = async (dataDir, path, log, stack) => {
  const [{ openDataDir }, { startEmbeddedRedis }] = await Promise.all([
    import('#services/all/data-dir.ts'),
    import('#services/all/embedded-redis.ts'),
  ]);
  return startEmbeddedRedis(openDataDir(dataDir, stack), path, log, stack);
};

await runProgram(process.argv, [addSimulate, addSimulatePlan, addRepartition(openEmbedded)]);
