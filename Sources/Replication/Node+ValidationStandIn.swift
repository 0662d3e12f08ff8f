import Primitives
import Storage

extension Node where Disk: ~Copyable {
  func validatedWith(_ store: StoreID) -> UInt16 { .max }
  func isValidated(_ store: StoreID, with node: NodeID) -> Bool { true }
}
