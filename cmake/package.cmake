# What is installed where, and the Debian package of it: cpack -G DEB in the build directory.
# docs/packages.md has what its scripts do.
set(libexec ${CMAKE_INSTALL_LIBEXECDIR}/vmmd)
set(systemd_units lib/systemd/system) # below /usr, as for every package of a distribution

install(TARGETS vmmd vmmd-front vmmd-main vmmd-worker vmmd-jail vmmd-net vmmd-split vmmd-pack vmmd-inspect vmmd-pam vmmd-kvmtest
        RUNTIME DESTINATION ${libexec})
install(TARGETS vmmd-preload LIBRARY DESTINATION ${libexec})
install(TARGETS vmmctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(PROGRAMS packaging/battery/vmmd-battery packaging/workers/vmmd-hold DESTINATION ${libexec})
install(FILES packaging/systemd/vmmd.service packaging/systemd/vmmd-workers.service
              packaging/systemd/vmmd-guests.service packaging/systemd/vmm.slice
              packaging/battery/vmmd-battery.service packaging/battery/vmmd-battery.timer
        DESTINATION ${systemd_units})
install(FILES packaging/sysusers.d/vmmd.conf DESTINATION lib/sysusers.d)
install(FILES packaging/tmpfiles.d/vmmd.conf DESTINATION lib/tmpfiles.d)
install(FILES packaging/pam.d/vmmd DESTINATION /etc/pam.d)
install(FILES packaging/vmmd.conf DESTINATION /etc/vmmd) # where the daemon looks, whatever the prefix
install(FILES openapi.yaml DESTINATION ${CMAKE_INSTALL_DATADIR}/vmmd)
install(DIRECTORY packaging/metrics DESTINATION ${CMAKE_INSTALL_DATADIR}/vmmd)
install(FILES README.md CHANGELOG.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs PATTERN man EXCLUDE)
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_PACKAGE_NAME vmmd)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "vmmd maintainers <vmmd@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "virtual machine manager: daemon, web interface, command line")
set(CPACK_PACKAGE_DESCRIPTION
    "vmmd runs virtual machines by QEMU and KVM, each shut in a jail of its own. It keeps their
configuration, snapshots with memory and disks, moves their storage while they run, and
serves an HTTPS API, a web interface and vmmctl.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_GENERATOR DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS
    "qemu-system-x86 (>= 1:7.2), passt, openssl, adduser | systemd")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ovmf, qemu-utils, systemd")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    "${CMAKE_SOURCE_DIR}/packaging/debian/postinst;${CMAKE_SOURCE_DIR}/packaging/debian/prerm;${CMAKE_SOURCE_DIR}/packaging/debian/postrm;${CMAKE_SOURCE_DIR}/packaging/debian/conffiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
