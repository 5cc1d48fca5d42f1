package import Base

/// RFC 2782's selection: a draw over the running sum of the weights, repeated without the chosen. Weights are at
/// least 1.
package func weightedOrder<Element>(
  of group: [Element], weight: (Element) -> Int, random: inout RandomSource
) -> [Element] {
  guard group.count > 1 else { return group }
  var rest = group
  var order: [Element] = []
  order.reserveCapacity(group.count)
  while rest.count > 1 {
    var draw = random.next(below: rest.reduce(0) { $0 + weight($1) })
    var chosen = 0
    while chosen < rest.count - 1, draw >= weight(rest[chosen]) {
      draw -= weight(rest[chosen])
      chosen += 1
    }
    order.append(rest.remove(at: chosen))
  }
  return order + rest
}
