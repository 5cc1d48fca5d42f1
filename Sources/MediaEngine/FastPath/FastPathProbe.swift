/// Whether this process could relay in the kernel, found out by doing it but for the attaching.
package enum FastPathProbe {
  /// Nil where nothing stands in the way.
  package static func obstacle() -> FastPathObstacle? {
    do throws(FastPathObstacle) {
      try KernelPart.checkSystem()
      var maps = try KernelMaps(entries: 1)
      maps.close()
      return nil
    } catch {
      return error
    }
  }

  /// Policies of IPsec, which the program would pass by: nothing is relayed in the kernel while there are any.
  package static var hasIPsecPolicies: Bool { KernelNetwork.hasPolicies }
}
