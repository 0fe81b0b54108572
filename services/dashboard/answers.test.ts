import type { DnsAnswer } from '@ufes/core/dashboard.ts';
import { limits } from '@ufes/core/limits.ts';
import { describe, expect, test } from 'vitest';
import { AnswerWindow } from './answers.ts';

const now = 1_764_000_000_000;
const countries: Readonly<Record<string, string>> = { '192.0.2.0/24': 'GB', '198.51.100.0/24': 'US' };

function answer(seq: number, client: string, pop?: string, atMs = now): DnsAnswer {
  return { seq, atMs, name: 'www.shop.example.', client, ...(pop === undefined ? {} : { pop }) };
}
const window = () => new AnswerWindow((client) => countries[client]);

describe('answers of the last minutes', () => {
  test('are counted by country and PoP, most first', () => {
    const answers = window();
    answers.take(
      {
        last: 4,
        answers: [
          answer(1, '192.0.2.0/24', 'lon'),
          answer(2, '198.51.100.0/24', 'iad'),
          answer(3, '192.0.2.0/24', 'iad'),
          answer(4, '203.0.113.0/24'),
        ],
      },
      now,
    );
    const view = answers.view(now);
    expect(view.total).toBe(4);
    expect(view.byCountry).toEqual([
      { country: 'GB', total: 2, byPop: { lon: 1, iad: 1 } },
      { total: 1, byPop: { '': 1 } },
      { country: 'US', total: 1, byPop: { iad: 1 } },
    ]);
    expect(view.recent.map((one) => one.seq)).toEqual([4, 3, 2, 1]);
    expect(view.recent[0]!.name).toBe('www.shop.example');
  });

  test('leave after the window', () => {
    const answers = window();
    answers.take({ last: 1, answers: [answer(1, '192.0.2.0/24', 'lon')] }, now);
    const lengthMs = limits.dashboard.answerBuckets * limits.dashboard.answerBucketMs;
    expect(answers.view(now + lengthMs - limits.dashboard.answerBucketMs).total).toBe(1);
    expect(answers.view(now + lengthMs).total).toBe(0);
  });

  test('that were read twice count once', () => {
    const answers = window();
    const read = { last: 1, answers: [answer(1, '192.0.2.0/24', 'lon')] };
    answers.take(read, now);
    answers.take(read, now);
    expect(answers.view(now).total).toBe(1);
  });

  test('that dns forgot are said to be unseen; what came before the first look is not', () => {
    const answers = window();
    answers.take({ last: 9_000, answers: [answer(9_000, '192.0.2.0/24', 'lon')] }, now);
    expect(answers.view(now)).toMatchObject({ total: 1, unseen: 0 });
    answers.take({ last: 9_500, answers: [answer(9_500, '192.0.2.0/24', 'lon')] }, now);
    expect(answers.view(now)).toMatchObject({ total: 501, unseen: 499 });
  });

  test('are read from the start when dns restarted', () => {
    const answers = window();
    answers.take({ last: 500, answers: [answer(500, '192.0.2.0/24', 'lon')] }, now);
    // It was asked for those after 500, and has 2.
    answers.take({ last: 2, answers: [] }, now);
    expect(answers.since).toBe(0);
    answers.take({ last: 2, answers: [answer(1, '192.0.2.0/24', 'lon'), answer(2, '192.0.2.0/24', 'lon')] }, now);
    expect(answers.since).toBe(2);
    expect(answers.view(now)).toMatchObject({ total: 3, unseen: 0 });
  });

  test('with a clock that is off count as now', () => {
    const answers = window();
    answers.take(
      { last: 2, answers: [answer(1, '192.0.2.0/24', 'lon', now + 1e9), answer(2, '192.0.2.0/24', 'lon', 0)] },
      now,
    );
    expect(answers.view(now).total).toBe(2);
  });
});
