/** The two files of a publish. */
import { readFile, rm } from 'node:fs/promises';
import type { Context } from 'koa';
import { koaBody } from 'koa-body';
import { ProblemError } from '#wire/operator/problem.ts';

/** The two files of a multipart body; formidable keeps them in the system's temporary folder until they're read. */
export async function readParts(ctx: Context, limit: number): Promise<{ yml: Buffer; zip: Buffer }> {
  if (ctx.is('multipart') !== 'multipart')
    throw new ProblemError('unsupported-media-type', 'send multipart/form-data with the parts release and functions');
  await koaBody({
    multipart: true,
    json: false,
    urlencoded: false,
    text: false,
    formidable: { maxFileSize: limit, maxTotalFileSize: 2 * limit, allowEmptyFiles: true, minFileSize: 0, maxFiles: 4 },
    onError: (error) => {
      const status = (error as { httpCode?: number }).httpCode;
      if (status === 413) throw new ProblemError('too-large', `a file is over the limit of ${limit} bytes`);
      throw new ProblemError('bad-request', `the body can't be read: ${error.message}`);
    },
  })(ctx, () => Promise.resolve());
  const files = Object.values(ctx.request.files ?? {}).flat();
  try {
    const part = async (name: string): Promise<Buffer> => {
      const file = [ctx.request.files?.[name] ?? []].flat()[0];
      if (file !== undefined) return readFile(file.filepath);
      const field = (ctx.request.body as Record<string, unknown> | undefined)?.[name];
      // A part without a file name comes as a text field: fine for YAML.
      if (typeof field === 'string' && name === 'release') return Buffer.from(field);
      throw new ProblemError(
        'bad-request',
        `the part "${name}" is missing: send release (release.yml) and functions (fns.zip)`,
      );
    };
    return { yml: await part('release'), zip: await part('functions') };
  } finally {
    await Promise.all(files.map((file) => rm(file.filepath, { force: true })));
  }
}
