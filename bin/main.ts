/** The root of `choir`: the operators' commands and the simulator, two clients that don't know one another. */
import { runProgram } from '#services/cli/commands.ts';
import { addSimulate } from '#services/simulator/command.ts';

await runProgram(process.argv, [addSimulate]);
