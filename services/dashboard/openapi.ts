/** The OpenAPI document of the dashboard's API, out of the schemas that type it. */
import {
  apartStateSchema,
  compareAnswerSchema,
  compareStateSchema,
  jobReportSchema,
  jobSummarySchema,
  jobsStateSchema,
  mapChangesSchema,
  missingSchema,
  nodeStatusSchema,
  statusStateSchema,
  trendSchema,
  worldPopSchema,
  worldStateSchema,
  worldUserSchema,
} from '@ufes/core/dashboard.ts';

const json = (description: string, schema: object) => ({ description, content: { 'application/json': { schema } } });
const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const parameter = (name: string, description: string, required: boolean) => ({
  name,
  in: 'query',
  description,
  required,
  schema: { type: 'string' },
});
const problem = json('what is wrong, and what would be right', {
  type: 'object',
  properties: { error: { type: 'string' }, todo: { type: 'string' } },
  required: ['error'],
});

const order = (summary: string, required: readonly string[]) => ({
  post: {
    summary,
    requestBody: json('what it is about', {
      type: 'object',
      properties: Object.fromEntries([...required, 'by'].map((name) => [name, { type: 'string' }])),
      required,
    }),
    responses: { 200: json('done', { type: 'object' }), 400: problem, 403: problem, 404: problem, 503: problem },
  },
});

export const openApi = {
  openapi: '3.1.0',
  info: { title: 'ufes dashboard', version: '0.1.0', license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
  paths: {
    '/api/world': {
      get: {
        summary: 'PoPs, recent answers and measured users',
        responses: { 200: json('the newest known', reference('WorldState')) },
      },
    },
    '/api/compare': {
      get: {
        summary: 'Response time of the same users: direct, geo edge, steered edge',
        responses: { 200: json('the newest known', reference('CompareAnswer')) },
      },
    },
    '/api/explain': {
      get: {
        summary: 'Why a client gets the answer it gets',
        parameters: [
          parameter('name', 'steered name', true),
          parameter('client', 'address or prefix; may be left out when a resolver is given', false),
          parameter('resolver', 'address of the resolver; default: the client asks itself', false),
          parameter('type', 'A, AAAA or HTTPS; default A', false),
          parameter('at', 'milliseconds since 1970, up to 7 days ago; default: now', false),
        ],
        responses: { 200: json('the decision', { type: 'object' }), 400: problem, 404: problem, 502: problem },
      },
    },
    '/api/changes': {
      get: {
        summary: 'Maps that were published, held and rolled back, and plans, newest first',
        parameters: [
          parameter('limit', 'entries; default 100', false),
          parameter('all', '1: also maps that move nobody', false),
        ],
        responses: { 200: json('as the mapper keeps them', reference('MapChanges')), 400: problem },
      },
    },
    '/api/trend': {
      get: {
        summary: 'Response times by path, round trips and samples by country and PoP, an hour a row, oldest first',
        parameters: [parameter('hours', 'up to 744; default 168', false)],
        responses: { 200: json('as the mapper rolled them up', reference('Trend')), 400: problem },
      },
    },
    '/api/jobs': {
      get: {
        summary: 'Background jobs: schedules, what waits and runs, and what failed for good and why',
        parameters: [
          parameter('name', 'jobs of this name alone', false),
          parameter('state', 'waiting, running or dead', false),
          parameter('limit', 'jobs; default 100', false),
        ],
        responses: { 200: json('as the queue has them', reference('JobsState')), 400: problem, 503: problem },
      },
    },
    '/api/jobs/retry': order('Lets a dead job run again', ['name', 'id']),
    '/api/jobs/drop': order('Forgets a dead job', ['name', 'id']),
    '/api/jobs/run': order('Adds a job of a scheduled name now', ['name']),
    '/api/quarantine': {
      get: {
        summary: 'Beacons that were refused, and measurements that do not count',
        parameters: [parameter('limit', 'rows of each kind; default 100', false)],
        responses: { 200: json('what, where from, why', reference('ApartState')), 400: problem },
      },
    },
    '/api/status': {
      get: {
        summary: 'The processes: state, memory, time since start',
        responses: { 200: json('as the supervisor sees them', reference('StatusState')) },
      },
    },
    '/api/events': {
      get: {
        summary: 'Server-sent events: world (every second, without users), users and compare (when they change)',
        responses: {
          200: {
            description: 'each event is the whole of its kind',
            content: { 'text/event-stream': { schema: { type: 'string' } } },
          },
          503: problem,
        },
      },
    },
  },
  components: {
    schemas: {
      WorldState: worldStateSchema,
      WorldPop: worldPopSchema,
      WorldUser: worldUserSchema,
      CompareAnswer: compareAnswerSchema,
      CompareState: compareStateSchema,
      MapChanges: mapChangesSchema,
      ApartState: apartStateSchema,
      Trend: trendSchema,
      JobsState: jobsStateSchema,
      JobReport: jobReportSchema,
      JobSummary: jobSummarySchema,
      StatusState: statusStateSchema,
      NodeStatus: nodeStatusSchema,
      Missing: missingSchema,
    },
  },
} as const;
