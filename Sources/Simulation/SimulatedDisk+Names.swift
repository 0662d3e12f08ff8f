// What the simulated disk needs besides its state: the numbers of errors, and names that follow their directory.

extension SimulatedDisk {
  enum Errno {
    static let noEntry: Int32 = 2
    static let failed: Int32 = 5
    static let badFile: Int32 = 9
    static let exists: Int32 = 17
    static let notDirectory: Int32 = 20
    static let isDirectory: Int32 = 21
    static let invalid: Int32 = 22
    static let tooManyFiles: Int32 = 24
    static let noSpace: Int32 = 28
    static let notEmpty: Int32 = 39
  }

  static func moving(_ names: [String: Int], _ from: String, _ to: String) -> [String: Int] {
    Dictionary(uniqueKeysWithValues: names.map { (moving($0.key, from, to), $0.value) })
  }

  static func moving(_ directories: Set<String>, _ from: String, _ to: String) -> Set<String> {
    Set(directories.map { moving($0, from, to) })
  }

  static func moving(_ path: String, _ from: String, _ to: String) -> String {
    path == from || path.hasPrefix(from + "/") ? to + path.dropFirst(from.count) : path
  }
}
