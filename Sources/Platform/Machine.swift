import Glibc

// The machine that something was measured on, in a line.

package enum Machine {
  /// Processors that are on.
  package static var cores: Int { Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// `Linux 6.18.44 x86_64`.
  package static var kernel: String {
    var name = utsname()
    guard unsafe uname(&name) == 0 else { return "an unknown kernel" }
    return [text(of: name.sysname), text(of: name.release), text(of: name.machine)].joined(separator: " ")
  }

  private static func text<Field>(of field: Field) -> String {
    unsafe withUnsafeBytes(of: field) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}

// What the standard library lacks and Glibc has; for generators of random numbers.

/// e to the power of `x`, minus 1, exact near 0.
package func exponentialMinusOne(_ x: Double) -> Double { expm1(x) }
/// The natural logarithm of 1 + `x`, exact near 0.
package func logarithmOfOnePlus(_ x: Double) -> Double { log1p(x) }
/// The natural logarithm.
package func logarithm(_ x: Double) -> Double { log(x) }
/// e to the power of `x`.
package func exponential(_ x: Double) -> Double { exp(x) }
