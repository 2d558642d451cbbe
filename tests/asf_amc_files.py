"""A skeleton and a motion of it, as ASF and AMC.

An arm of two bones along x, of lengths 2 and 1, in a unit of an inch. The upper one's angles are measured in
axes turned by 90 degrees about z: its x is the world's y. Another bone, upwards, has no channel.
"""

ASF = """# made by a test
:version 1.10
:units
  mass 1.0
  length 1.0
  angle deg
:documentation
  begin of what nobody reads, end
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name upper
    direction 1 0 0
    length 2
    axis 0 0 90 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
    name lower
    direction 1, 0, 0
    length 1
    axis 10 20 30 ZYX
    dof ry rx
  end
  begin
    name spike
    direction 0 1 0
    length 3
    axis 0 0 0 XYZ
  end
:hierarchy
  begin
    upper lower
    root upper spike
  end
"""
AMC = """#!OML:ASF F:\\SOMEWHERE\\a.ASF
:FULLY-SPECIFIED
:DEGREES
1
root 0 0 0 0 0 0
upper 0 0 0
lower 0 0
2
lower 0 0
upper 90 0 0
root 10 20 30 0 0 0
"""
