//! Power loss and failing disks, at every operation.
