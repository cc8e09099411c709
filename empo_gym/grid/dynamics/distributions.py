"""Weighted rows of integers, compiled: multiply distributions, sort them, merge equal rows."""

from __future__ import annotations

from empo_gym.grid.dynamics.kernel import inlined, kernel


@kernel
def multiply(states, probs, start, end, rows, weights, first, last):
    """Combine outcomes states[start:end] with independent changes rows[first:last]; return the new end, -1 if out of space."""
    n = end - start
    if start + n * (last - first) > probs.size:
        return -1
    for k in range(last - 1, first - 1, -1):
        # The first change is applied in place, after the others have used what was there.
        to = start + (k - first) * n
        for r in range(n):
            for s in range(states.shape[1]):
                states[to + r, s] = states[start + r, s] + rows[k, s]
            probs[to + r] = probs[start + r] * weights[k]
    return start + n * (last - first)


@inlined
def sort_equals(groups, row):
    """Bring equal objects into their canonical order: groups are ranges of components that are sorted."""
    for g in range(groups.shape[0]):
        for a in range(groups[g, 0] + 1, groups[g, 1]):
            value = row[a]
            b = a
            while b > groups[g, 0] and row[b - 1] > value:
                row[b] = row[b - 1]
                b -= 1
            row[b] = value


@inlined
def compare(rows, a, b):
    """Return -1, 0 or 1 as row a comes before, equals or comes after row b."""
    for s in range(rows.shape[1]):
        if rows[a, s] != rows[b, s]:
            return -1 if rows[a, s] < rows[b, s] else 1
    return 0


@kernel
def merge_rows(rows, probs, start, end):
    """Sort the rows from start to end (by Shell's method) and add up the probabilities of equal ones; return the new end."""
    gap = (end - start) // 2
    while gap > 0:
        for a in range(start + gap, end):
            b = a
            while b - gap >= start and compare(rows, b - gap, b) > 0:
                probs[b - gap], probs[b] = probs[b], probs[b - gap]
                for s in range(rows.shape[1]):
                    rows[b - gap, s], rows[b, s] = rows[b, s], rows[b - gap, s]
                b -= gap
        gap //= 2
    last = start
    for a in range(start + 1, end):
        if compare(rows, last, a) == 0:
            probs[last] += probs[a]
        else:
            last += 1
            for s in range(rows.shape[1]):
                rows[last, s] = rows[a, s]
            probs[last] = probs[a]
    return min(last + 1, end)
