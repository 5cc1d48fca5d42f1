import Testing

// `#expect` and `#require` capture the values of their expression, which types that can't be copied or
// can't escape don't allow. These two take the outcome alone.

func check(
  _ holds: Bool, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(holds, comment, sourceLocation: sourceLocation)
}

func unwrap<T>(_ value: T?, sourceLocation: SourceLocation = #_sourceLocation) throws -> T {
  try #require(value, sourceLocation: sourceLocation)
}
