// Programming errors stop the process with the values that broke the rule, in release builds too. Operating errors
// (a full disk, a bad frame) are never reported this way: they are typed values.

/// Stops the process when `holds` is false.
@inlinable package func invariant(
  _ holds: @autoclosure () -> Bool, _ message: @autoclosure () -> String,
  file: StaticString = #fileID, line: UInt = #line
) {
  if !holds() { fatalError("invariant: \(message())", file: file, line: line) }
}
