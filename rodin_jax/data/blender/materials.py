"""Blender materials: skin, eyes, cloth, leather, hair and what accessories are made of."""

import numpy as np

from rodin_jax.data.blender.parts import Surface

# Kind -> inputs of the Principled BSDF; names that a Blender version lacks are an error.
_PRINCIPLED = {
    "skin": {"Roughness": 0.50, "Subsurface Weight": 0.22, "Subsurface Scale": 0.035,
             "Subsurface Radius": (1.0, 0.35, 0.20), "Specular IOR Level": 0.35},
    "eye": {"Roughness": 0.12, "Coat Weight": 1.0, "Coat Roughness": 0.04},
    "lip": {"Roughness": 0.32, "Subsurface Weight": 0.1, "Subsurface Scale": 0.02},
    "teeth": {"Roughness": 0.2, "Emission Strength": 0.25},
    "glow": {"Roughness": 0.3, "Emission Strength": 1.0},
    "cloth": {"Roughness": 0.88, "Sheen Weight": 0.25, "Sheen Roughness": 0.5,
              "Specular IOR Level": 0.2},
    "leather": {"Roughness": 0.34, "Specular IOR Level": 0.6, "Coat Weight": 0.25,
                "Coat Roughness": 0.25},
    "felt": {"Roughness": 0.95, "Sheen Weight": 0.4, "Specular IOR Level": 0.1},
    "plastic": {"Roughness": 0.35},
    "metal": {"Roughness": 0.22, "Metallic": 1.0},
    "dark lens": {"Roughness": 0.08, "Coat Weight": 0.5, "Coat Roughness": 0.03},
}  # fmt: skip
_CLEAR_LENS = 0.05  # how much of the light a clear lens reflects
STRIPES, DOTS = 9.0, 11.0  # in one world unit


def linear(colour) -> np.ndarray:
    """SRGB to linear light."""
    colour = np.clip(np.asarray(colour, float), 0, 1)
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def build(surface: Surface, coloured: bool):
    """A new material; ``coloured`` takes the colour of the mesh attribute ``colour``."""
    import bpy

    material = bpy.data.materials.new(surface.kind)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    if surface.kind == "hair":
        shader = _hair(tree)
    elif surface.kind == "clear lens":
        shader = _lens(tree, surface)
    else:
        shader = _principled(tree, surface, coloured)
    tree.links.new(shader, output.inputs["Surface"])
    return material


def _principled(tree, surface: Surface, coloured: bool):
    node = tree.nodes.new("ShaderNodeBsdfPrincipled")
    for name, value in _PRINCIPLED[surface.kind].items():
        node.inputs[name].default_value = value
    node.subsurface_method = "BURLEY"  # cheaper than a random walk, alike at this size
    base = node.inputs["Base Color"]
    colour = (*linear(surface.colour), 1.0)
    base.default_value = colour
    if coloured:
        tree.links.new(_attribute(tree, "colour"), base)
    elif surface.pattern != "plain":
        mix = tree.nodes.new("ShaderNodeMix")
        mix.data_type = "RGBA"
        mix.inputs[6].default_value, mix.inputs[7].default_value = colour, (
            *linear(surface.second), 1.0,
        )  # fmt: skip
        tree.links.new(_pattern(tree, surface.pattern), mix.inputs[0])
        tree.links.new(mix.outputs[2], base)
    if surface.kind in ("glow", "teeth"):
        node.inputs["Emission Color"].default_value = colour
    return node.outputs["BSDF"]


def _pattern(tree, pattern: str):
    """1 on stripes or dots, 0 between; from the mesh attribute ``cloth`` (around, up)."""

    def maths(operation, a, b=None):
        node = tree.nodes.new("ShaderNodeMath")
        node.operation = operation
        for socket, value in zip(node.inputs, (a, b), strict=False):
            if value is None:
                continue
            if isinstance(value, float):
                socket.default_value = value
            else:
                tree.links.new(value, socket)
        return node.outputs[0]

    node = tree.nodes.new("ShaderNodeAttribute")
    node.attribute_name = "cloth"
    split = tree.nodes.new("ShaderNodeSeparateXYZ")
    tree.links.new(node.outputs["Vector"], split.inputs[0])
    around, up = split.outputs[0], split.outputs[1]
    if pattern == "striped":
        return maths("LESS_THAN", maths("FRACT", maths("MULTIPLY", up, STRIPES)), 0.42)
    row = maths("MULTIPLY", up, DOTS)
    # Every second row of dots stands between the dots of the one below.
    odd = maths("FRACT", maths("MULTIPLY", maths("FLOOR", row), 0.5))
    column = maths("ADD", maths("MULTIPLY", around, DOTS), odd)
    x = maths("SUBTRACT", maths("FRACT", column), 0.5)
    y = maths("SUBTRACT", maths("FRACT", row), 0.5)
    square = maths("ADD", maths("MULTIPLY", x, x), maths("MULTIPLY", y, y))
    return maths("LESS_THAN", square, 0.30**2)


def _hair(tree):
    node = tree.nodes.new("ShaderNodeBsdfHairPrincipled")
    node.parametrization = "COLOR"
    node.inputs["Roughness"].default_value = 0.42
    node.inputs["Radial Roughness"].default_value = 0.75
    tree.links.new(_attribute(tree, "colour"), node.inputs["Color"])
    return node.outputs[0]


def _lens(tree, surface: Surface):
    clear = tree.nodes.new("ShaderNodeBsdfTransparent")
    clear.inputs["Color"].default_value = (*linear(surface.colour), 1.0)
    gloss = tree.nodes.new("ShaderNodeBsdfGlossy")
    gloss.inputs["Roughness"].default_value = 0.1
    mix = tree.nodes.new("ShaderNodeMixShader")
    mix.inputs[0].default_value = _CLEAR_LENS
    tree.links.new(clear.outputs[0], mix.inputs[1])
    tree.links.new(gloss.outputs[0], mix.inputs[2])
    return mix.outputs[0]


def _attribute(tree, name: str):
    node = tree.nodes.new("ShaderNodeAttribute")
    node.attribute_name = name
    return node.outputs["Color"]
