import { describe, expect, it } from 'vitest';
import type { Strategy } from '#domain/strategy/strategy.ts';
import { checkStrategy } from '#domain/strategy/check.ts';

const stage = (name: string, onSuccess: string, more: object = {}): Strategy['stages'][number] => ({
  name,
  type: 'WaitForSignal',
  func_name: 'sieve',
  variants: [
    { name: 'base_version', trafficPercentage: 90 },
    { name: 'new_version', trafficPercentage: 10 },
  ],
  metrics_conditions: [{ name: 'errorRate', threshold: '<0.02' }],
  end_conditions: [{ name: 'minDuration', threshold: '10s' }],
  end_action: { onSuccess, onFailure: 'rollback' },
  ...more,
});

const strategy = (...stages: Strategy['stages'][number][]): Strategy => ({
  id: '21',
  name: 'Sieve',
  type: 'major',
  functions: [
    { name: 'sieve', base_version: { path: 'fns/v1', env: 'nodejs' }, new_version: { path: 'fns/v2', env: 'nodejs' } },
  ],
  stages,
  rollback: { action: { function: 'base_version' } },
});

const GOOD = strategy(stage('A', 'B'), stage('B', 'rollout'));

describe('a strategy', () => {
  it('is fine as the specification has it', () => {
    expect(checkStrategy(GOOD)).toEqual({ faults: [], warnings: [] });
  });

  it.each<[string, Strategy, string]>([
    [
      'percentages that do not sum up',
      strategy(
        stage('A', 'rollout', {
          variants: [
            { name: 'base_version', trafficPercentage: 90 },
            { name: 'new_version', trafficPercentage: 20 },
          ],
        }),
      ),
      'stages[0].variants',
    ],
    [
      'a percentage over 100',
      strategy(
        stage('A', 'rollout', {
          variants: [
            { name: 'base_version', trafficPercentage: -20 },
            { name: 'new_version', trafficPercentage: 120 },
          ],
        }),
      ),
      'stages[0].variants[0].trafficPercentage',
    ],
    [
      'a variant of another name',
      strategy(
        stage('A', 'rollout', {
          variants: [
            { name: 'old', trafficPercentage: 90 },
            { name: 'new_version', trafficPercentage: 10 },
          ],
        }),
      ),
      'stages[0].variants[0].name',
    ],
    ['two stages of one name', strategy(stage('A', 'A2'), stage('A', 'rollout')), 'stages[1].name'],
    ['an end action that is no stage', strategy(stage('A', 'Nowhere')), 'stages[0].end_action.onSuccess'],
    ['an end action that loops onto itself', strategy(stage('A', 'A')), 'stages[0].end_action.onSuccess'],
    ['a function that is not defined', strategy(stage('A', 'rollout', { func_name: 'other' })), 'stages[0].func_name'],
    ['a stage of unknown type', strategy(stage('A', 'rollout', { type: 'Shadow' })), 'stages[0].type'],
    ['a stage named like an end action', strategy(stage('rollout', 'rollback')), 'stages[0].name'],
    [
      'a threshold without an operator',
      strategy(stage('A', 'rollout', { metrics_conditions: [{ name: 'errorRate', threshold: '0.02' }] })),
      'stages[0].metrics_conditions[0].threshold',
    ],
    [
      'a response time compared with nothing',
      strategy(stage('A', 'rollout', { metrics_conditions: [{ name: 'responseTime', threshold: '<2' }] })),
      'stages[0].metrics_conditions[0].compareWith',
    ],
    [
      'a metric of another name',
      strategy(stage('A', 'rollout', { metrics_conditions: [{ name: 'cpu', threshold: '<2' }] })),
      'stages[0].metrics_conditions[0].name',
    ],
    [
      'a duration that is none',
      strategy(stage('A', 'rollout', { end_conditions: [{ name: 'minDuration', threshold: '10 s' }] })),
      'stages[0].end_conditions[0].threshold',
    ],
    [
      'a number of calls that is none',
      strategy(stage('A', 'rollout', { end_conditions: [{ name: 'minCalls', threshold: 'many' }] })),
      'stages[0].end_conditions[0].threshold',
    ],
    ['a rollback to something else', { ...GOOD, rollback: { action: { function: 'v3' } } }, 'rollback.action.function'],
    [
      'a function’s folder out of fns/',
      {
        ...GOOD,
        functions: [
          { name: 'sieve', base_version: { path: 'fns/../etc', env: 'x' }, new_version: { path: 'fns/v2', env: 'x' } },
        ],
      },
      'functions[0].base_version.path',
    ],
  ])('is refused for %s', (_, bad, path) => {
    expect(checkStrategy(bad).faults.map((fault) => fault.path)).toContain(path);
  });

  it('reports all faults at once', () => {
    const bad = strategy(stage('A', 'A', { type: 'X', func_name: 'y' }), stage('A', 'Z'));
    expect(checkStrategy(bad).faults.map((fault) => fault.path)).toEqual([
      'stages[1].name',
      'stages[0].type',
      'stages[0].func_name',
      'stages[0].end_action.onSuccess',
      'stages[1].end_action.onSuccess',
    ]);
  });

  it('warns where onSuccess is not what an agent will run next', () => {
    const skipping = strategy(stage('A', 'C'), stage('B', 'C'), stage('C', 'A'));
    const { faults, warnings } = checkStrategy(skipping);
    expect(faults).toEqual([]);
    expect(warnings.map((warning) => warning.path)).toEqual([
      'stages[0].end_action.onSuccess',
      'stages[2].end_action.onSuccess',
      'stages[2].end_action.onSuccess',
    ]);
    expect(checkStrategy(strategy(stage('A', 'rollout'), stage('B', 'rollback'))).warnings).toHaveLength(1);
  });
});
