"""When the phases of registered pairs were taken, and at what contrast dose, where no header tells."""
