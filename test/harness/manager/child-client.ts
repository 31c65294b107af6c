/** A child played by hand, request by request, in the reference agent's spelling. */

export const BERLIN_AREA = {
  type: 'Polygon',
  coordinates: [
    [
      [13.34138389963175, 52.49855383364354],
      [13.474766810586402, 52.49855383364354],
      [13.474766810586402, 52.557371936926614],
      [13.34138389963175, 52.557371936926614],
      [13.34138389963175, 52.49855383364354],
    ],
  ],
};

const TIMES = { median: 8.24175, minimum: 7.03625, maximum: 21.592958 };
export const SUMMARY = {
  proxy_times: TIMES,
  f1_times_summary: { median: 7.912958, minimum: 6.979334, maximum: 19.588959 },
  f2_times_summary: { median: 8.200792, minimum: 7.104208, maximum: 21.5505 },
  f1_err_rate: 0,
  f2_err_rate: 0,
};
export const STATUS = { SuccessWaiting: 2, Completed: 4, Failure: 5, Error: 6 } as const;

export type Reply = { status: number; text: string; headers: Headers };
export type ChildClient = ReturnType<typeof createChildClient>;

export async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

export function createChildClient(url: string, id: string) {
  return {
    id,
    async poll(more: object = {}): Promise<{ id: string; new_release: string }> {
      const reply = await post(`${url}/poll`, { id, geographic_area: BERLIN_AREA, number_of_children: 0, ...more });
      if (reply.status !== 200) throw new Error(`/poll answered ${reply.status}: ${reply.text}`);
      return JSON.parse(reply.text) as { id: string; new_release: string };
    },
    async download(release: string, init: RequestInit = {}): Promise<Reply> {
      const response = await fetch(`${url}/release?childID=${id}&releaseID=${release}`, init);
      return { status: response.status, text: await response.text(), headers: response.headers };
    },
    result: (release: string, stage: string, status: number, next: string | null, more: object = {}): Promise<Reply> =>
      post(`${url}/result`, {
        id,
        release_id: release,
        stage_summaries: [{ stage_name: stage, status, ...SUMMARY, ...more }],
        next_stage: next,
      }),
    async endStage(release: string, stage: string): Promise<boolean> {
      const reply = await post(`${url}/end_stage`, { id, strategy_id: release, stage_name: stage });
      if (reply.status !== 200) throw new Error(`/end_stage answered ${reply.status}: ${reply.text}`);
      return (JSON.parse(reply.text) as { end_stage: boolean }).end_stage;
    },
  };
}
