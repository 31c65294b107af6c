import { compensationId, isCompensationId } from '#domain/rollout/compensation-id.ts';
import { PRESET_NAMES, PRESETS } from '#domain/plan/presets.ts';
import JSZip from 'jszip';
import { describe, expect, it } from 'vitest';
import { checkFunctionsZip, packFunctions } from '#bundle/functions-zip.ts';
import { sieveYml, sieveZip } from '#test/harness/plans/release-files.ts';
import { readReleaseFile } from '#wire/release/release-file.ts';

const read = (text: string) => readReleaseFile(Buffer.from(text));
const LIMIT = 1024 * 1024;
const PRESETS_ARE = `is one of ${PRESET_NAMES.join(', ')}`;

describe('release.yml', () => {
  it('is read as agents read it', () => {
    const { faults, warnings, file } = read(sieveYml('21'));
    expect({ faults, warnings }).toEqual({ faults: [], warnings: [] });
    expect(file?.strategy.stages.map((stage) => stage.name)).toEqual(['Canary', 'Test', 'Gradual']);
    expect(file?.strategy.stages[0]?.end_conditions[1]).toEqual({ name: 'minCalls', threshold: '40' });
  });

  it.each(['1.0', '010', '0x15', '21', '"1.0"', 'true'])('keeps the id %s as it is written', (id) => {
    expect(read(sieveYml(id)).file?.strategy.id).toBe(id.replaceAll('"', ''));
  });

  it.each(['null', '~', '', '"a b"', '..', '[1]'])('takes no id %j', (id) => {
    const { faults, file } = read(sieveYml(id));
    expect(file).toBeNull();
    expect(faults[0]?.path).toBe('id');
  });

  it('takes no id of a release that takes another one back', () => {
    for (const id of ['21.revert', '21.revert-3', '.revert', 'a.7.revert-12']) {
      const { faults, file } = read(sieveYml(id));
      expect(file).toBeNull();
      expect(faults).toEqual([
        { path: 'id', message: expect.stringMatching(/^is kept for releases that take others back/) as string },
      ]);
    }
    for (const id of ['revert', 'a.reverted', 'a-revert', 'a.revert-', 'a.revert-x', 'a.revert.b'])
      expect(read(sieveYml(id)).faults).toEqual([]);
    // The ids of those that are made are always of this kind.
    for (const release of ['a', 'a'.repeat(64)])
      for (const n of [null, 1, 1_000])
        expect(isCompensationId(compensationId({ release, shortId: '7' }, n))).toBe(true);
  });

  it('takes a plan, by name or as a mapping', () => {
    const planOf = (plan: string) => read(sieveYml('1', `plan: ${plan}`)).file?.plan;
    expect(planOf('location-sequential')).toBe(PRESETS['location-sequential']);
    expect(planOf('{ name: global-incremental }')).toEqual(PRESETS['global-incremental']);
    expect(planOf('{ name: waves, waves: 2, advance: { approval: { stages: [Canary], waves: true } } }')).toEqual({
      ...PRESETS.waves,
      waves: { kind: 'fixed', size: 2 },
      advance: { ...PRESETS.waves.advance, approval: { stages: ['Canary'], waves: true } },
    });
    expect(planOf('')).toBeUndefined();
  });

  it('says where a plan has faults, those that its stages bring about too', () => {
    const plan = `plan:
  waves: 0
  advance:
    quorum: "95"
    soka: 5m
    metrics: worst
    approval: { stages: [Canary, Test, Nowhere] }
  failure:
    all: { share: 10 }`;
    const yml = sieveYml('21', plan).replace('compareWith: Median', 'compareWith: Maximum');
    const { faults, file } = read(yml);
    expect(file).toBeNull();
    expect(faults.map(({ path, message }) => `${path} ${message}`)).toEqual([
      'plan.waves is a whole number from 1 to 1000000, doubling, all, or a mapping with percent, not "0" (line 50)',
      'plan.advance.soka is no key here: there are quorum, min_children, soak, metrics, approval (line 53)',
      "plan.advance.quorum 95 can't be reached once the budget of failure.all is used: at most 90 (line 52)",
      'plan.advance.approval.stages[1] "Test" is no WaitForSignal stage: children end it themselves, and an approval changes nothing (line 55)',
      'plan.advance.approval.stages[2] "Nowhere" is none of the stages (line 55)',
      'plan.advance.metrics "Canary" compares responseTime with Maximum: only medians and error rates are aggregated (line 54)',
    ]);
    const broken = yml.replace('name: Test', 'name: [Test]').replace('type: WaitForSignal', 'type: [x]');
    expect(read(broken).faults.map(({ path }) => path)).toEqual([
      'stages[0].type',
      'stages[1].name',
      'plan.waves',
      'plan.advance.soka',
      'plan.advance.quorum',
    ]);
  });

  it('names the plan where what is missing in it is the fault', () => {
    expect(read(sieveYml('1', 'plan:\n  failure: { all: { count: 1 } }')).faults).toEqual([
      {
        path: 'plan.advance.quorum',
        message:
          "100 can't be reached once the budget of failure.all is used: failed children stay in the count (line 50)",
      },
    ]);
  });

  it('says where a fault is, all of them at once', () => {
    const bad = sieveYml('21')
      .replace('trafficPercentage: 90', 'trafficPercentage: 80')
      .replace('threshold: 2s', 'threshold: soon');
    const { faults } = read(bad);
    expect(faults.map((fault) => fault.path)).toEqual(['stages[0].variants', 'stages[0].end_conditions[0].threshold']);
    expect(faults[0]?.message).toMatch(/sum to 90, not to 100 \(line 13\)/);
  });

  it('reports faults of shape and of meaning together', () => {
    const bad = sieveYml('21')
      .replace('name: Canary', 'name: [x]')
      .replace('onFailure: rollback', 'onFailure: Nowhere')
      .replace('percentage: 10', 'Percentage: 010');
    expect(
      read(sieveYml('21').replace('type: A/B', 'type: [x]').replace('threshold: 2s', 'threshold: soon')).faults.map(
        ({ path }) => path,
      ),
    ).toEqual(['stages[1].type', 'stages[0].end_conditions[0].threshold']);
    expect(read(bad).faults.map(({ path }) => path)).toContain('stages[0].name');
  });

  it('reports what is wrong beside a wrong shape, and nothing that only follows from it', () => {
    const faultsOf = (change: (yml: string) => string) =>
      read(change(sieveYml('21', 'plan: everywhere'))).faults.map(({ path, message }) => `${path} ${message}`);
    expect(
      faultsOf((yml) =>
        yml
          .replace('name: base_version, trafficPercentage: 90', 'name: old, trafficPercentage: many')
          .replace('onFailure: rollback', 'onFailure: Canary'),
      ),
    ).toEqual([
      'stages[0].variants[0].trafficPercentage is no whole number from 0 to 100 (line 13)',
      'stages[0].variants[0].name is base_version or new_version, not "old" (line 13)',
      'stages[0].variants needs base_version once (line 13)',
      'stages[0].end_action.onFailure "Canary" is the stage itself (line 21)',
      `plan ${PRESETS_ARE}, not "everywhere" (line 49)`,
    ]);
    expect(
      faultsOf((yml) =>
        yml
          .replace('stages:', 'stages:\n  - no mapping')
          .replace('threshold: 2s', 'threshold: soon')
          .replace('{ name: new_version, trafficPercentage: 10 }', '7'),
      ),
    ).toEqual([
      'stages[0] is no mapping (line 9)',
      'stages[1].variants[1] is no mapping (line 15)',
      'stages[1].end_conditions[0].threshold "soon" is no duration such as 10s or 1h30m (line 20)',
      `plan ${PRESETS_ARE}, not "everywhere" (line 50)`,
    ]);
    expect(
      faultsOf((yml) => yml.replace('name: Canary', 'name: [x]').replace('plan: everywhere', 'plan: { name: x }')),
    ).toEqual(['stages[0].name is missing or no text (line 9)', `plan.name ${PRESETS_ARE}, not "x" (line 49)`]);
  });

  it.each<[string, string, string]>([
    ['a percentage in quotes', 'trafficPercentage: "90"', 'stages[0].variants[0].trafficPercentage'],
    ['one with a leading zero', 'trafficPercentage: 090', 'stages[0].variants[0].trafficPercentage'],
    ['one with a fraction', 'trafficPercentage: 89.5', 'stages[0].variants[0].trafficPercentage'],
  ])('refuses %s', (_, instead, path) => {
    expect(read(sieveYml('21').replace('trafficPercentage: 90', instead)).faults.map((fault) => fault.path)).toContain(
      path,
    );
  });

  it('takes a file of very many keys in no time, and one that holds itself in a sentence', () => {
    const many = Array.from({ length: 15_000 }, (_, i) => `k${i}: 1`).join('\n');
    expect(read(sieveYml('21', many)).faults).toEqual([]);
    expect(read(`${sieveYml('21')}a: &a { b: *a }\n`).faults[0]?.message).toMatch(
      /holds itself|nests too deeply|alias/i,
    );
  });

  it.each<[string, string, RegExp]>([
    ['no YAML', 'id: [', /line 1/],
    ['two documents', 'id: 1\n---\nid: 2\n', /line/],
    ['a key twice', 'id: 1\nid: 2\n', /line 2/],
    ['a list', '- 1', /^$/],
  ])('refuses %s', (_, text, path) => {
    const { faults, file } = read(text);
    expect(file).toBeNull();
    expect(faults[0]?.path).toMatch(path);
  });

  it('refuses bytes that are no UTF-8', () => {
    expect(readReleaseFile(Buffer.from([0xff, 0xfe, 0x00])).faults[0]?.message).toBe('release.yml is not UTF-8 text');
  });
});

describe('fns.zip', () => {
  const functions = read(sieveYml('21')).file?.strategy.functions ?? [];
  const zipOf = async (names: Record<string, string | null>): Promise<Buffer> => {
    const zip = new JSZip();
    for (const [name, content] of Object.entries(names))
      if (content === null) zip.file(name, null, { createFolders: false, dir: true });
      else zip.file(name, content, { createFolders: false });
    return zip.generateAsync({ type: 'nodebuffer' });
  };
  const check = async (zip: Buffer, limit = LIMIT) => checkFunctionsZip(zip, functions, limit);
  const WHOLE = {
    'fns/': null,
    'fns/sample_f1/': null,
    'fns/sample_f1/i.js': '1',
    'fns/sample_f2/': null,
    'fns/sample_f2/i.js': '2',
  };

  it('is served as it is when its directories come first', async () => {
    for (const zip of [await zipOf(WHOLE), await sieveZip()]) {
      const { faults, served } = await check(zip);
      expect(faults).toEqual([]);
      expect(served).toBe(zip);
    }
  });

  it('gets directory entries, and nothing else, where they are missing', async () => {
    const zip = await zipOf({ 'fns/sample_f1/i.js': '1', 'fns/sample_f2/i.js': '2', '__MACOSX/fns/._x': 'x' });
    const { faults, served } = await check(zip);
    expect(faults).toEqual([]);
    const again = await JSZip.loadAsync(served, { createFolders: false });
    expect(Object.keys(again.files).filter((name) => !name.startsWith('__MACOSX'))).toEqual([
      'fns/',
      'fns/sample_f1/',
      'fns/sample_f2/',
      'fns/sample_f1/i.js',
      'fns/sample_f2/i.js',
    ]);
    expect(await again.file('fns/sample_f2/i.js')?.async('string')).toBe('2');
  });

  it.each<[string, Record<string, string | null>, RegExp]>([
    ['a path that leads out', { ...WHOLE, '../evil.js': 'x' }, /"..\/evil.js", which lies outside/],
    ['an absolute path', { ...WHOLE, '/etc/passwd': 'x' }, /"\/etc\/passwd", which lies outside/],
    ['a path beside fns/', { ...WHOLE, 'readme.txt': 'x' }, /"readme.txt", which lies outside/],
    [
      'a function’s folder that is missing',
      { 'fns/': null, 'fns/sample_f1/': null, 'fns/sample_f1/i.js': '1' },
      /no file in "fns\/sample_f2\/"/,
    ],
  ])('is refused for %s', async (_, names, message) => {
    const { faults } = await check(await zipOf(names));
    expect(faults.map((fault) => fault.message).join('\n')).toMatch(message);
  });

  it.each<[string, Record<string, string | null>, RegExp]>([
    ['a file that is also a folder', { ...WHOLE, 'fns/sample_f1': 'x' }, /but "fns\/sample_f1" is a file/],
    ['a name with an empty part', { ...WHOLE, 'fns/sample_f1//x.js': 'x' }, /lies outside of fns/],
    ['a name with a NUL', { ...WHOLE, 'fns/sample_f1/a\u0000b': 'x' }, /control characters/],
  ])('is refused for %s', async (_, names, message) => {
    expect((await check(await zipOf(names))).faults.map((fault) => fault.message).join('\n')).toMatch(message);
  });

  it('is refused when its list of entries is damaged, or names one twice', async () => {
    const zip = Buffer.from(await zipOf(WHOLE));
    const wrongCount = Buffer.from(zip);
    wrongCount.writeUInt16LE(1, zip.length - 12);
    expect((await check(wrongCount)).faults[0]?.message).toMatch(/list of entries is damaged/);
    const twice = Buffer.from(zip);
    for (let at = twice.indexOf('sample_f2/i.js'); at >= 0; at = twice.indexOf('sample_f2/i.js', at + 1))
      twice.write('sample_f1', at);
    expect((await check(twice)).faults.map(({ message }) => message)).toContain('holds "fns/sample_f1/i.js" twice');
  });

  it('is refused for a link, whichever system made it', async () => {
    for (const madeBy of [3, 19]) {
      const zip = Buffer.from(await zipOf(WHOLE));
      const entry = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 0x01, 0x02]));
      zip.writeUInt8(madeBy, entry + 5);
      zip.writeUInt32LE(0o120777 * 2 ** 16, entry + 38);
      expect((await check(zip)).faults[0]?.message).toMatch(/neither a file nor a folder/);
    }
  });

  it('warns of a Node function that reference agents would not deploy', async () => {
    const { faults, warnings } = await check(await zipOf(WHOLE));
    expect([faults, warnings.map(({ path }) => path)]).toEqual([
      [],
      ['functions[0].base_version.path', 'functions[0].new_version.path'],
    ]);
    expect((await check(await sieveZip())).warnings).toEqual([]);
  });

  it('is refused when it is no zip, damaged, too large, or unpacks to too much', async () => {
    expect((await check(Buffer.from('no zip'))).faults[0]?.message).toMatch(/can't be read/);
    const zip = await sieveZip();
    expect((await check(zip, 10)).faults[0]?.message).toMatch(/more than the limit of 10/);
    const bomb = await packFunctions(
      new Map([
        ['fns/sample_f1/a', Buffer.alloc(40 * 1024 * 1024)],
        ['fns/sample_f2/a', Buffer.from('x')],
      ]),
    );
    expect((await check(bomb)).faults[0]?.message).toMatch(/unpacks to more than/);
    const stored = await zipOf(WHOLE);
    const damaged = Buffer.from(stored);
    const at = damaged.indexOf('fns/sample_f1/i.js') + 'fns/sample_f1/i.js'.length;
    damaged[at] = 'X'.charCodeAt(0);
    expect((await check(damaged)).faults[0]?.message).toMatch(/damaged|unpacked/);
  });

  it('is packed to the same bytes each time', async () => {
    expect(await sieveZip()).toEqual(await sieveZip());
  });
});
