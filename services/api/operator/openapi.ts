/** The OpenAPI 3.1 document, from the routes themselves. */
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from 'zod-openapi';
import { problem, PROBLEMS, type ProblemCode } from '#wire/operator/problem.ts';
import type { OperatorRoute } from './route.ts';

export function openApiDocument(routes: readonly OperatorRoute[], version: string) {
  const paths: ZodOpenApiPathsObject = {};
  for (const each of routes) {
    const path = `/api/v1${each.path.replaceAll(/:(\w+)/g, '{$1}')}`;
    paths[path] = { ...paths[path], [each.method]: operation(each) };
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'Umbilical Choir Release Manager: operator API',
      version,
      description: 'Errors are RFC 9457 problems. Lists are {items, next}.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    security: [{ bearer: [] }],
    paths,
    components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
  });
}

function operation(route: OperatorRoute): ZodOpenApiOperationObject {
  const codes: ProblemCode[] = [...route.problems, 'unauthorized', 'unavailable'];
  const responses: ZodOpenApiOperationObject['responses'] = {};
  for (const [status, { description, schema }] of Object.entries(route.responses))
    responses[status as `2${string}`] =
      schema === undefined ? { description } : { description, content: { 'application/json': { schema } } };
  for (const status of new Set(codes.map((code) => PROBLEMS[code].status)))
    responses[String(status) as `4${string}`] = {
      description: codes
        .filter((code) => PROBLEMS[code].status === status)
        .map((code) => `${code}: ${PROBLEMS[code].title}`)
        .join('; '),
      content: { 'application/problem+json': { schema: problem } },
    };
  return {
    summary: route.summary,
    requestParams: {
      ...(route.params === undefined ? {} : { path: route.params }),
      ...(route.query === undefined ? {} : { query: route.query }),
    },
    ...requestBody(route),
    responses,
  };
}

function requestBody({ body, multipart }: OperatorRoute): Pick<ZodOpenApiOperationObject, 'requestBody'> {
  if (multipart !== undefined) {
    const properties = Object.fromEntries(
      Object.entries(multipart).map(([name, file]) => [
        name,
        { type: 'string' as const, format: 'binary', description: file },
      ]),
    );
    const schema = { type: 'object' as const, required: Object.keys(multipart), properties };
    return { requestBody: { required: true, content: { 'multipart/form-data': { schema } } } };
  }
  return body === undefined ? {} : { requestBody: { content: { 'application/json': { schema: body } } } };
}
