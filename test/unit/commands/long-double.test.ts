import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { addLongDoubles, formatLongDouble, parseLongDouble } from '../../../src/commands/long-double.ts';

function sum(a: string, b: string): string {
  const total = addLongDoubles(parseLongDouble(a)!, parseLongDouble(b)!);
  return total === undefined ? 'infinite' : formatLongDouble(total);
}

describe('long doubles', () => {
  it('add as Redis does', () => {
    // Each pair was given to INCRBYFLOAT of redis-server 7.0.15 on x86.
    assert.equal(sum('3', '0.1'), '3.1');
    assert.equal(sum('0.1', '0.2'), '0.3');
    assert.equal(sum('10.50', '-5'), '5.5');
    assert.equal(sum('5.0e3', '2.0e2'), '5200');
    assert.equal(sum('0', '-0'), '0');
    assert.equal(sum('1000.1', '-0.00000000000000001'), '1000.09999999999999998');
  });

  it('refuse what is not a number, is too large or vanishes', () => {
    for (const text of [
      '',
      ' 1',
      '1 ',
      'x',
      '1e',
      '.',
      '-',
      '0x10',
      'nan',
      '1e5000',
      '1e-5000',
      '1e99999999999999999999',
    ]) {
      assert.equal(parseLongDouble(text), undefined, text);
    }
    assert.equal(addLongDoubles(parseLongDouble('inf')!, parseLongDouble('1')!), undefined);
    assert.equal(addLongDoubles(parseLongDouble('1.1e4932')!, parseLongDouble('1.1e4932')!), undefined);
  });

  it('keep every whole number of 64 bits', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        assert.equal(formatLongDouble(parseLongDouble(value.toString())!), value.toString());
      }),
    );
  });

  it('give sums of amounts of money to the 13th place', () => {
    const cents = fc.integer({ min: -1_000_000_000, max: 1_000_000_000 });
    const decimal = (value: number): string => (value / 100).toFixed(2);
    fc.assert(
      fc.property(cents, cents, (a, b) => {
        assert.equal(Number(sum(decimal(a), decimal(b))).toFixed(9), ((a + b) / 100).toFixed(9));
      }),
    );
  });

  it('agree with doubles where those are exact', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
        fc.integer({ min: -10, max: 10 }),
        (mantissa, power) => {
          const value = mantissa * 2 ** power;
          assert.equal(Number(sum(String(value), '0')), value + 0);
        },
      ),
    );
  });
});
